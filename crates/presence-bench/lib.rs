//! Benchmarks (`cargo bench`), and examples that put load on a server.
