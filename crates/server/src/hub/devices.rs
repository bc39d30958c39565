//! What becomes of a connection with its device, or its account.

use super::{Hub, Lost};

impl Hub {
    /// Ends the connection of a device that was removed.
    pub(crate) fn revoke(&self, account: &str, device: &str, by: Option<&str>) {
        let mut state = self.state();
        let Some(standing) = state.accounts.get_mut(account) else {
            return;
        };
        if let Some(revoked) = standing.remove(device) {
            revoked.lose(Lost::Revoked(by.map(str::to_owned)));
        }
        if standing.is_empty() {
            state.accounts.remove(account);
        }
    }

    /// Ends all connections of an account that is erased: each device of it is one that was removed.
    pub(crate) fn revoke_all(&self, account: &str) {
        let standing = self.state().accounts.remove(account).unwrap_or_default();
        standing.into_values().for_each(|revoked| revoked.lose(Lost::Revoked(None)));
    }

    /// A device that may be connected is called otherwise from now on.
    pub(crate) fn rename(&self, account: &str, device: &str, name: &str) {
        let mut state = self.state();
        let standing = state.accounts.get_mut(account).and_then(|standing| standing.get_mut(device));
        if let Some(standing) = standing {
            name.clone_into(&mut standing.connection.name);
        }
    }
}
