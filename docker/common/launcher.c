/* Starts the runtime client in any image.
 *
 * An image's LD_PRELOAD or PYTHONHOME is meant for the image's programs and would break the
 * client's Python, so the client starts without such variables. Each is kept under the name
 * TETHER_ENV_<name>, from which the client gives it back to the programs that it starts.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PYTHON "/opt/tether/bin/python3"
#define KEPT "TETHER_ENV_"

static const char *const PREFIXES[] = {"LD_", "PYTHON", "OPENSSL_", "GLIBC_", "MALLOC_", NULL};
static const char *const NAMES[] = {"GCONV_PATH=", "LC_ALL=", "LOCPATH=", NULL};

/* Whatever the image's locale, text is UTF-8 to the client, and Python sets no locale by itself,
 * which the image's programs would inherit. The last one names what is the client's own here. */
static char *const OWN[] = {"LC_ALL=C.UTF-8", KEPT "=LC_ALL", NULL};

static int starts_with(const char *text, const char *const *starts)
{
    for (; *starts; starts++)
        if (strncmp(text, *starts, strlen(*starts)) == 0)
            return 1;
    return 0;
}

static void *checked(void *memory)
{
    if (!memory) {
        perror("tether-runtime-client: out of memory");
        exit(126);
    }
    return memory;
}

static char *kept(const char *variable)
{
    char *renamed = checked(malloc(sizeof KEPT + strlen(variable)));

    return strcat(strcpy(renamed, KEPT), variable);
}

static char **environment(char **image)
{
    char **result;
    int i, n = 0;

    while (image[n])
        n++;
    result = checked(calloc(n + sizeof OWN / sizeof *OWN, sizeof *result));
    for (i = 0; i < n; i++)
        result[i] = starts_with(image[i], PREFIXES) || starts_with(image[i], NAMES)
            ? kept(image[i]) : image[i];
    for (i = 0; OWN[i]; i++)
        result[n++] = OWN[i];
    return result;
}

/* As PID 1 a process loses a signal that it neither handles nor blocks, and Python has no handler for
 * its first tenth of a second. The supervisor takes these as soon as it can; by number, since the C
 * libraries count real-time signals from different ones: the last is SIGRTMIN+3 of everybody else.
 */
static void keep_stop_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, 37};
    sigset_t kept;
    unsigned i;

    sigemptyset(&kept);
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&kept, numbers[i]);
    sigprocmask(SIG_BLOCK, &kept, NULL);
}

int main(int argc, char **argv, char **envp)
{
    char **args = checked(calloc(argc + 5, sizeof *args));
    int i, n = 0;

    args[n++] = PYTHON;
    args[n++] = "-I";
    args[n++] = "-m";
    args[n++] = "tether_runtime_client";
    for (i = 1; i < argc; i++)
        args[n++] = argv[i];
    if (argc > 1 && strcmp(argv[1], "supervise") == 0)
        keep_stop_signals();
    execve(PYTHON, args, environment(envp));
    perror("tether-runtime-client: " PYTHON);
    return 127;
}
