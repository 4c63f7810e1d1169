"""The daemon: one live camera captioned, with a web page and an HTTP interface."""
