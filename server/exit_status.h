/* How quern ends, besides EXIT_SUCCESS and EXIT_FAILURE: so that whoever starts it can tell what is
 * wrong without reading. Documented in quern(1). */
#ifndef QUERN_SERVER_EXIT_STATUS_H
#define QUERN_SERVER_EXIT_STATUS_H

enum exit_status {
    EXIT_USAGE = 2,  /* the command line */
    EXIT_CONFIG = 3, /* a setting in the file or in the environment, or two that contradict */
    EXIT_MODEL = 4,  /* the model cannot be read, or cannot run */
    EXIT_LISTEN = 5, /* the address is in use, or not of this machine */
    EXIT_CACHE = 6,  /* the cache directory that was asked for cannot be used */
    EXIT_NOTIFY = 7, /* $NOTIFY_SOCKET leads nowhere */
};

#endif
