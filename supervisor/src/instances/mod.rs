//! From what a person wants to a runtime spec: paths inside, generated settings, start levers.
