#!/bin/sh
# Print the path of a Chromium or Chrome for the browser test. Installs Debian's chromium when run as root on Debian;
# elsewhere says on standard error what to install, and prints nothing.
find_one() {
    for name in ${CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable chrome; do
        if command -v "$name"; then return 0; fi
    done
    return 1
}
find_one && exit 0
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
    echo "Installing Debian's chromium for the browser test." >&2
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium; } >&2
    find_one && exit 0
fi
echo "The browser test needs Chromium or Chrome. Debian, Ubuntu: sudo apt-get install chromium. Fedora: sudo dnf install" \
    "chromium. macOS: brew install --cask chromium. Or name one: make test CHROMIUM=/path/to/it." >&2
exit 0
