//! creel-practice
