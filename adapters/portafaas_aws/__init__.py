"""The AWS Lambda adapter. ``adapter`` builds packages; ``runtime`` ships inside them."""
