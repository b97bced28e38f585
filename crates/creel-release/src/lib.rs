//! creel-release
