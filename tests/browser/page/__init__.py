"""The page under visitors and servers: what is live on it, who waits, what breaks."""
