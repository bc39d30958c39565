//! What kind of device connects.

use tutti_protocol::wire;

/// What kind of device connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// A phone or tablet app.
    Mobile,
    /// A browser.
    Web,
    /// A desktop app.
    Desktop,
    /// An app inside another app.
    Miniprogram,
}

impl Platform {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Mobile, Self::Web, Self::Desktop, Self::Miniprogram];

    /// The platform as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Web => "web",
            Self::Desktop => "desktop",
            Self::Miniprogram => "miniprogram",
        }
    }

    /// Reads a platform.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.as_str() == text)
    }
}

impl From<wire::Platform> for Platform {
    /// A client that does not say what it is counts as a browser: those are limited most.
    fn from(platform: wire::Platform) -> Self {
        match platform {
            wire::Platform::Mobile => Self::Mobile,
            wire::Platform::Desktop => Self::Desktop,
            wire::Platform::Miniprogram => Self::Miniprogram,
            wire::Platform::Web | wire::Platform::Unspecified => Self::Web,
        }
    }
}

impl From<Platform> for wire::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Mobile => Self::Mobile,
            Platform::Desktop => Self::Desktop,
            Platform::Miniprogram => Self::Miniprogram,
            Platform::Web => Self::Web,
        }
    }
}
