//! frechet
