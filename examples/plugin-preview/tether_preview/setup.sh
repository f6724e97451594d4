# Runs while an image is built, in a Debian that is thrown away: what is to stay goes to $PREFIX.
mkdir -p "$PREFIX/bin"
cp /usr/bin/cmark "$PREFIX/bin/"
