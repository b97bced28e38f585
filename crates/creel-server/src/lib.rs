//! creel-server
