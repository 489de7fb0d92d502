"""The Google Cloud adapter: Cloud Run functions behind HTTP, Pub/Sub, Eventarc and Scheduler."""
