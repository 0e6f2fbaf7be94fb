mod bench;
mod changing;
mod hostile;
mod running;
mod talk;
