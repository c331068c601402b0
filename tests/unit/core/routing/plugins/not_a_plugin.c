/* A shared object that is no plug-in. */
int quarry_not_a_plugin(void);
int quarry_not_a_plugin(void) { return 42; }
