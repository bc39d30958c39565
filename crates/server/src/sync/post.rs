//! One exchange by post: a hello, at most one more frame, and what the server says to them. For clients
//! of accounts whose places are all taken. Nothing is kept between two posts.

use std::sync::Arc;

use bytes::Bytes;
use tutti_protocol::{
    Code, Seq, codec, limits, sequence,
    wire::{self, client_frame, server_frame::Frame},
};

use super::{caller::Caller, connection::read, ending::Ending};
use crate::{app::App, bus::Allowance, roster::Denied};
use tutti_acceptance::accept::Refusal;

/// Most frames in a body: a hello, and what it is for.
pub(super) const FRAMES: usize = 2;

/// Answers a body with a body.
pub(super) async fn exchange(app: &Arc<App>, body: Bytes) -> Bytes {
    let mut answers = Vec::new();
    if let Err(ending) = answer(app, body, &mut answers).await {
        answers.extend(ending.last_frame());
    }
    let frames: Vec<Bytes> =
        answers.into_iter().map(|frame| codec::encode(&wire::ServerFrame { frame: Some(frame) })).collect();
    sequence::join(&frames)
}

async fn answer(app: &Arc<App>, body: Bytes, answers: &mut Vec<Frame>) -> Result<(), Ending> {
    let frames = sequence::split(body, FRAMES, limits::CLIENT_FRAME)
        .map_err(|error| Ending::error(Code::Protocol, error.to_string()))?;
    let mut frames = frames.into_iter().map(read);
    let Some(client_frame::Frame::Hello(hello)) = frames.next().transpose()? else {
        return Err(Ending::error(Code::Protocol, "expected a hello"));
    };
    let request = frames.next().transpose()?;
    let mut caller = Caller::admit(app, &hello).await?;
    if app.hub.is_superseded(&caller.account, &caller.sighting.id, hello.epoch).await {
        return Err(Denied::Superseded.into());
    }
    let grant = app.bus.take(Allowance::Posts, &caller.account, 1).await;
    if grant.granted == 0 {
        return Err(Refusal::rate_limited(grant.wait).into());
    }
    caller.appear().await?;
    answers.push(caller.welcome(&hello).await?);
    answers.extend(match request {
        None => None,
        Some(client_frame::Frame::Submit(submit)) => Some(caller.submit(submit.operations).await),
        Some(client_frame::Frame::Pull(pull)) => {
            let after = Seq(pull.after);
            Some(Frame::Delta(caller.delta(after, caller.page(after, None).await?)))
        }
        Some(client_frame::Frame::PullSnapshot(pull)) => Some(caller.snapshot(pull).await?),
        Some(client_frame::Frame::PullHistory(pull)) => Some(caller.history(pull).await?),
        Some(client_frame::Frame::Ping(ping)) => Some(Frame::Pong(wire::Pong { nonce: ping.nonce })),
        Some(client_frame::Frame::Manage(manage)) => Some(caller.manage(manage).await),
        Some(client_frame::Frame::Refresh(refresh)) => Some(caller.refresh(&refresh.token).await?),
        // The hello of each post says it.
        Some(client_frame::Frame::Privacy(_)) => None,
        // Who polls is not there.
        Some(client_frame::Frame::Status(_) | client_frame::Frame::Ask(_)) => None,
        Some(client_frame::Frame::Hello(_)) => {
            return Err(Ending::error(Code::Protocol, "a second hello"));
        }
    });
    Ok(())
}
