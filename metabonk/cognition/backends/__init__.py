"""Who answers: rules, model servers, small policies, and the chain of them."""
