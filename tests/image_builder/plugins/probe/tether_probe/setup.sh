# Run in the build stage, in the package's own folder.
test -f tether-plugin.toml
cp /usr/bin/hello "$PREFIX/bin/"
"$PIP" --version >"$PREFIX/pip"
mkdir "$PREFIX/other"
cp /usr/bin/hello "$PREFIX/other/"
chmod 4755 "$PREFIX/other/hello"
