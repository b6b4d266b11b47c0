"""What pages show, made from answers: pure, without Streamlit and without sockets."""
