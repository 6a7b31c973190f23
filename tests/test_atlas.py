"""docs/atlas.html: the map of docs/atlas.md, each step with its place, its answer and its figure."""

from dataclasses import replace

from experiments import atlas, index


def test_the_page_is_the_map_s():
    assert atlas.html(atlas.steps()) == atlas.PAGE.read_text(encoding="utf-8"), "python -m experiments.atlas"


def test_each_step_has_a_place_an_answer_and_a_figure():
    steps = atlas.steps()
    keys = [step.key for step in steps]
    assert len(set(keys)) == len(keys) > 25
    pages = {step.page.stem for step in steps} - {"corpora"}  # a command's, with no experiment behind it
    assert pages <= {entry.name for entry in index.ENTRIES}
    for step in steps:
        assert step.page.exists() and step.changed and all(step.on), step.name
        if step.page.stem in pages:
            assert step.answer and (atlas.DOCS / step.figure).exists(), step.name


def test_words_of_a_page_are_text(tmp_path):
    page = tmp_path / "evil.md"
    page.write_text("# x\n\n## Answer\n\n<b>1 < 2</b>, `a<b`\n\n", encoding="utf-8")
    first = replace(atlas.steps()[0], name="<i>", page=page, question="[<script>](x)")
    made = atlas.card(first)
    assert "&lt;b&gt;1 &lt; 2" in made and "<code>a&lt;b</code>" in made and "&lt;script&gt;" in made
    assert "<i>" not in made and "<script>" not in made
