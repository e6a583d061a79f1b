# One greeting. Exit code 1 tells Batchkeeper that no retry will help until somebody puts something right.
echo "hello, $PLANET, from attempt $BATCHKEEPER_ATTEMPT"
sleep 12
if [ "$PLANET" = Mars ] && [ ! -e mars-is-there ]; then
    echo "Mars is not there: touch examples/tour/mars-is-there" >&2
    exit 1
fi
