//! Several real nodes in a network with a real server: what was handed in ends exactly once, whoever is killed, stopped or
//! cut off meanwhile.

mod bad_messages;
mod kills;
mod losers;
mod net;
mod outages;
mod pressure;
mod stages;
mod twins;
mod zombies;
