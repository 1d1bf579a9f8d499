"""What is done on the page: drawn, shown, looked at, kept."""
