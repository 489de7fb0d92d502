"""Azure Functions, Python v2 programming model; ``portafaas_azure.runtime`` is what ships."""
