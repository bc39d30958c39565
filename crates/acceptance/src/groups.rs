//! Who is in a group, and how its members learn of it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tutti_protocol::Conversation;

use crate::{
    accept::Refusal,
    storage::{Addressee, Addressees, Delivery, News, Result, Touched, Transaction},
    work::{Growth, Work},
};

/// A group that gets these members, whether it was there or not, if none of them was erased.
#[derive(Clone, Debug)]
pub struct PutGroup {
    /// Its name.
    pub id: String,
    /// Everyone in it.
    pub members: BTreeSet<String>,
}

#[async_trait]
impl Work for PutGroup {
    type Answer = Result<(), Refusal>;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.changed_groups.insert(self.id.clone());
        touched.accounts.extend(self.members.iter().cloned());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer> {
        let members: Vec<_> = self.members.iter().map(String::as_str).collect();
        if let Some((account, _)) = tx.erased(&members).await? {
            return Ok(Err(Refusal::erased(&account)));
        }
        let before = tx.group(&self.id).await?.unwrap_or_default();
        if before == self.members {
            return Ok(Ok(()));
        }
        tx.put_group(&self.id, &self.members).await?;
        tell_members(tx, growth, &self.id, &self.members, &self.members).await?;
        // Those who left may know who was there with them and stayed, but not who came.
        let left = before.difference(&self.members).cloned().collect();
        let stayed = before.intersection(&self.members).cloned().collect();
        tell_members(tx, growth, &self.id, &left, &stayed).await?;
        Ok(Ok(()))
    }
}

/// Takes an account that was erased out of a group. One that nobody is left in is no more.
pub(crate) async fn leave(
    tx: &mut dyn Transaction,
    growth: &mut Growth,
    group: &str,
    account: &str,
) -> Result<()> {
    let mut members = tx.group(group).await?.unwrap_or_default();
    members.remove(account);
    if members.is_empty() {
        return tx.drop_group(group).await;
    }
    tx.put_group(group, &members).await?;
    tell_members(tx, growth, group, &members, &members).await
}

/// A group that is no more.
#[derive(Clone, Debug)]
pub struct DeleteGroup {
    /// Its name.
    pub id: String,
}

#[async_trait]
impl Work for DeleteGroup {
    /// Whether there was one.
    type Answer = bool;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.changed_groups.insert(self.id.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<bool> {
        let Some(members) = tx.group(&self.id).await? else {
            return Ok(false);
        };
        tx.drop_group(&self.id).await?;
        tell_members(tx, growth, &self.id, &members, &BTreeSet::new()).await?;
        Ok(true)
    }
}

/// Writes into the logs of these accounts who is in a group.
async fn tell_members(
    tx: &mut dyn Transaction,
    growth: &mut Growth,
    group: &str,
    accounts: &BTreeSet<String>,
    members: &BTreeSet<String>,
) -> Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    let roster = tx.store_roster(members).await?;
    let conversation = &Conversation::Group(group).to_string();
    let to: Addressees = accounts.iter().map(|account| (account.clone(), Addressee::All)).collect();
    tx.deliver(&to, Delivery { operation: None, conversation, news: News::Members(roster) }).await?;
    growth.add_entries(accounts.iter().cloned());
    Ok(())
}
