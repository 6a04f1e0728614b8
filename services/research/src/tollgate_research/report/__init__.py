"""What a trader wants to know of a span of time: read from the books in Postgres, shown as text, page or files."""
