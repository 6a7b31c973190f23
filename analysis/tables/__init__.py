"""Tables of runs and curves as people have them: read, understood, filtered, cautioned about."""
