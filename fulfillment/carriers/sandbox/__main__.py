import sys

from fulfillment.carriers.sandbox.server import main

sys.exit(main(sys.argv[1:]))
