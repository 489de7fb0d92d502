"""Azure on this machine, as far as the tests need it: a Service Bus, and the Functions host."""
