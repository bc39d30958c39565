//! Error codes: the same words in frames, in the HTTP API and in JavaScript.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $retryable:literal;)*) => {
        /// What went wrong, in one stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Reads a code. One that this version does not know is [`Code::Internal`].
            #[must_use]
            pub fn parse(text: &str) -> Self {
                match text { $($text => Self::$name,)* _ => Self::Internal }
            }

            /// Whether the same call may succeed later.
            #[must_use]
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable),* }
            }
        }
    };
}

codes! {
    /// No token, a wrong or an expired one.
    Auth = "auth", true;
    /// Known, but not allowed.
    Forbidden = "forbidden", false;
    /// Not there, or not this account's.
    NotFound = "not-found", false;
    /// The caller gave what makes no sense.
    Invalid = "invalid", false;
    /// It contradicts what is already there.
    Conflict = "conflict", false;
    /// The server cannot be reached, or the user works offline.
    Offline = "offline", true;
    /// The account has as many connections as it may.
    ConnectionLimit = "connection-limit", true;
    /// Too much in too short a time.
    RateLimited = "rate-limited", true;
    /// Larger than the limit.
    TooLarge = "too-large", false;
    /// No storage space is left.
    Quota = "quota", true;
    /// Storage failed.
    Storage = "storage", true;
    /// Another version of the code is in the way.
    Version = "version", false;
    /// This device was removed.
    Revoked = "revoked", false;
    /// The client is closed.
    Closed = "closed", false;
    /// No answer in time.
    Timeout = "timeout", true;
    /// The peer said what nobody may say.
    Protocol = "protocol", true;
    /// The environment lacks something.
    Unsupported = "unsupported", false;
    /// A fault of this software.
    Internal = "internal", true;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_as_written() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), *code);
        }
        assert_eq!(Code::parse("brand-new"), Code::Internal);
    }
}
