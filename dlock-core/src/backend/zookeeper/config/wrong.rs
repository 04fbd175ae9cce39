//! What is wrong with a setting.

use std::borrow::Cow;

/// What is wrong with a setting, and what helps, without the setting's own text: it may hold a password.
pub(crate) type Wrong = Cow<'static, str>;
