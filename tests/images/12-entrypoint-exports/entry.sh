#!/bin/sh
export FROM_ENTRYPOINT="exported by it with $1"
shift
umask 027
exec "$@"
