"""Where frames come from and where captions go: cameras, streams, files; text, JSON, video."""
