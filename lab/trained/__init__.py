"""What finished weights can do: write on, pack a file, tell what context and batch are worth."""
