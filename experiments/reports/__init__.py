"""What the experiments' reports are made with: tables, figures, pages, seals and the index."""
