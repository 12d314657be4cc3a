import sys

from payments.gateways.sandbox.server import main

sys.exit(main(sys.argv[1:]))
