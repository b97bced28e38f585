//! creel-warden
