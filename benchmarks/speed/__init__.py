"""Speed against peers on a real Apache Kafka: `python -m benchmarks.speed`, explained in docs/benchmarks.md."""
