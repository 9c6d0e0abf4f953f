"""The console: the operator's pages, made on the server, with a little script and no build step."""
