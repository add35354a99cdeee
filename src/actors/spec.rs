//! What the tree has to know of a model before it is loaded: its name, its budget, its limits, and how to start it.
//!
//! Erases the model's type, so that five different ones stand in one list. Knows no model.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ractor::{Actor, ActorRef, SpawnErr};

use super::host::Launch;
use super::job::{Job, Output, WrongJob};
use super::limits::ModelLimits;
use super::messages::{ModelMsg, SupervisorMsg};
use super::model_actor::{ModelActor, ModelArgs};
use super::registry::Registry;
use crate::contract::Model;
use crate::events::Bus;
use crate::types::{Bytes, ModelId};
use crate::vram::Lease;

type Spawned = Pin<Box<dyn Future<Output = Result<ActorRef<ModelMsg>, SpawnErr>> + Send>>;
type Spawn = dyn Fn(Option<Lease>, Registry, Bus, ActorRef<SupervisorMsg>) -> Spawned + Send + Sync;

/// One model of a tree.
#[derive(Clone)]
pub struct ModelSpec {
    /// The model.
    pub model: ModelId,
    /// What its weights and permanent buffers may take; leased before the load.
    pub budget: Bytes,
    /// What a job may take beyond that, until jobs are measured.
    pub workspace: Bytes,
    /// How long its states may last.
    pub limits: ModelLimits,
    spawn: Arc<Spawn>,
}

impl ModelSpec {
    /// `model` as an `M`, started by `launch`.
    pub fn new<M>(
        model: ModelId,
        budget: Bytes,
        workspace: Bytes,
        limits: ModelLimits,
        launch: Arc<dyn Launch<M::Job, M::Output>>,
    ) -> Self
    where
        M: Model,
        M::Job: TryFrom<Job, Error = WrongJob>,
        M::Output: Into<Output>,
    {
        let spawn = move |lease, registry, bus, supervisor: ActorRef<SupervisorMsg>| -> Spawned {
            let args = ModelArgs::<M> { model, launch: Arc::clone(&launch), limits, lease, registry, bus };
            Box::pin(async move {
                // Unnamed: ractor's names are process-wide, and a process may hold several trees.
                let actor = ModelActor::<M>::new();
                Actor::spawn_linked(None, actor, args, supervisor.get_cell()).await.map(|(actor, _)| actor)
            })
        };
        Self { model, budget, workspace, limits, spawn: Arc::new(spawn) }
    }

    pub(super) async fn spawn(
        &self,
        lease: Option<Lease>,
        registry: &Registry,
        bus: &Bus,
        supervisor: &ActorRef<SupervisorMsg>,
    ) -> Result<ActorRef<ModelMsg>, SpawnErr> {
        (self.spawn)(lease, registry.clone(), bus.clone(), supervisor.clone()).await
    }
}
