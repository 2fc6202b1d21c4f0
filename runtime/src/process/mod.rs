//! Start an instance, find it again, talk to its keeper, stop it.
