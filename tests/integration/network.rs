//! Several real nodes in a network with a real server: what was handed in ends exactly once, whoever is killed, stopped or
//! cut off meanwhile.

mod agreement;
mod bad_messages;
mod clocks;
mod credentials;
mod kills;
mod losers;
mod net;
mod observed;
mod outages;
mod pressure;
mod stages;
mod standins;
mod telling;
mod twins;
mod zombies;
