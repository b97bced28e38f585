//! creel-openclaw
