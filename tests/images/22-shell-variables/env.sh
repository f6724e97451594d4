echo from env.sh
