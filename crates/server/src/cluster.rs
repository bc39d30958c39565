//! What other servers say, and what becomes of their connections when they are gone.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    app::App,
    bus::{Heard, Word},
    clock::now,
    roster::ServerId,
    settings::Settings,
};

/// Hears, until the server ends.
pub(crate) async fn run(app: Arc<App>) {
    let hear = async {
        loop {
            match app.bus.heard().await {
                Heard::Word(word) => follow(&app, word),
                Heard::Back => later(&app, catch_up(app.clone())),
                Heard::Gone(server, accounts) => later(&app, bury(app.clone(), server, accounts)),
            }
        }
    };
    app.shutdown.run_until_cancelled(hear).await;
}

/// What takes a while must not keep it from hearing.
fn later(app: &App, work: impl Future<Output = ()> + Send + 'static) {
    let shutdown = app.shutdown.clone();
    app.connections.spawn(async move {
        shutdown.run_until_cancelled(work).await;
    });
}

fn follow(app: &Arc<App>, word: Word) {
    match word {
        Word::Grown { accounts } => accounts.iter().for_each(|account| app.hub.wake_here(account)),
        Word::Status { accounts, frame, except } => {
            accounts.iter().for_each(|account| app.hub.tell_here(account, &frame, except));
        }
        Word::Lost { account, ticket, lost } => app.hub.lose_here(&account, ticket, lost),
        Word::Active { account, ticket } => app.hub.note_latest(&account, ticket),
        Word::Devices { account } => app.lists.note_change_here(&account),
        Word::Cancelled(cancelled) => cancelled.cancel(&app.push),
        Word::Settings => later(app, read_settings(app.clone())),
        Word::Missed => later(app, catch_up(app.clone())),
    }
}

/// How long after this server has heard nothing for a while the others hear again, too.
const SETTLED: Duration = Duration::from_secs(3);

/// Something was missed: whatever follows from what all know now is done.
async fn catch_up(app: Arc<App>) {
    read_settings(app.clone()).await;
    let catch_up = |account: String| {
        let app = app.clone();
        async move {
            app.hub.catch_up(&account).await;
            app.lists.note_change(&account);
        }
    };
    app.hub.for_each_account(catch_up).await;
    sleep(SETTLED).await;
    app.hub.for_each_account(async |account| app.statuses.tell_news(&account)).await;
}

/// A server is gone, and so are its connections.
async fn bury(app: Arc<App>, server: ServerId, accounts: Vec<String>) {
    tracing::warn!(accounts = accounts.len(), "another server is gone");
    for account in accounts {
        let now = now();
        app.bus.change(&account, |roster| roster.bury(server, now)).await;
        app.statuses.tell_news(&account);
        app.lists.note_change(&account);
    }
    app.bus.forget(server).await;
}

/// Another server may have changed the settings.
async fn read_settings(app: Arc<App>) {
    match app.storage.settings().await {
        Ok(Some(text)) => match serde_json::from_str::<Settings>(&text) {
            Ok(settings) if settings != *app.settings.get() => app.take_settings(settings).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the settings were not understood"),
        },
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the settings were not read"),
    }
}
