"""What ships in an Azure package: one module a trigger kind, each with ``bind(function)``."""
