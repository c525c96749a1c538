//! All latency arithmetic, one formula, every term named. The only place that adds up latency.
