//! What becomes of a connection with its device, or its account.

use super::Hub;
use crate::roster::{Gone, Lost};

impl Hub {
    /// Ends the connection of a device that was removed.
    pub(crate) async fn revoke(&self, account: &str, device: &str, by: Option<&str>) {
        let removed = self.bus.change(account, |roster| {
            roster.unlist(device);
            roster.remove(device)
        });
        if let Some(ticket) = removed.await {
            self.lose(account, Gone { ticket, lost: Lost::Revoked(by.map(str::to_owned)) });
        }
    }

    /// Ends all connections of an account that is erased: each device of it is one that was removed.
    pub(crate) async fn revoke_all(&self, account: &str) {
        for ticket in self.bus.change(account, |roster| roster.remove_all()).await {
            self.lose(account, Gone { ticket, lost: Lost::Revoked(None) });
        }
    }

    /// A device that may be connected is called otherwise from now on.
    pub(crate) async fn rename(&self, account: &str, device: &str, name: &str) {
        self.bus.change(account, |roster| roster.rename(device, name)).await;
    }
}
