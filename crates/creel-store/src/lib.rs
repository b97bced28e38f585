//! creel-store
