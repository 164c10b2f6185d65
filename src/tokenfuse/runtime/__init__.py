"""Settings, clients, Faust apps, brokers, health and metrics: the thin shell around the pure core."""
